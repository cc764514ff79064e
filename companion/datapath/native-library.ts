import koffi from 'koffi';

/** Binds one C function by name. Throws Error when the library does not export it. */
export type NativeLibrary = (name: string, result: string, parameters: string[]) => (...values: number[]) => number;

/** The library at `path`, or with null everything that this process has loaded already. Throws Error when it cannot be loaded. */
export function nativeLibrary(path: string | null): NativeLibrary {
  const library = koffi.load(path);
  return (name, result, parameters) => library.func(name, result, parameters);
}
