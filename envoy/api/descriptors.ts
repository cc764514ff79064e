/**
 * Descriptors of .proto files, read out of the Python modules that protoc made of them.
 *
 * `xds-protos` ships no .proto files, but each `x_pb2.py` holds the serialized FileDescriptorProto of `x.proto` as a
 * bytes literal. Reading the literal as text needs neither Python's protobuf runtime nor grpcio.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import * as wellKnown from '@bufbuild/protobuf/wkt';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

const literalStart = "AddSerializedFile(b'";
const simpleEscapes: Record<string, number> = { n: 0x0a, r: 0x0d, t: 0x09, '"': 0x22, "'": 0x27, '\\': 0x5c };

/**
 * The bytes of the Python literal `b'…'` whose contents begin at `start` of `text`.
 * Knows the escapes that protoc writes: \n \r \t \" \' \\ \xHH and three octal digits.
 * @throws Error at anything else, or when the literal has no end.
 */
export function pythonBytes(text: string, start: number): Uint8Array {
  const bytes: number[] = [];
  for (let i = start; i < text.length; ) {
    const char = text[i]!;
    if (char === "'") return Uint8Array.from(bytes);
    if (char !== '\\') {
      bytes.push(text.charCodeAt(i++));
      continue;
    }
    const next = text[i + 1] ?? '';
    const simple = simpleEscapes[next];
    const numeric =
      /^x([0-9a-fA-F]{2})/.exec(text.slice(i + 1, i + 4)) ?? /^([0-3][0-7]{2})/.exec(text.slice(i + 1, i + 4));
    if (simple !== undefined) {
      bytes.push(simple);
      i += 2;
    } else if (numeric) {
      bytes.push(Number.parseInt(numeric[1]!, next === 'x' ? 16 : 8));
      i += 4;
    } else {
      throw new Error(`unknown escape \\${next} in a bytes literal`);
    }
  }
  throw new Error('a bytes literal has no end');
}

/** The descriptor inside the text of a `_pb2.py` module. @throws Error when it holds none. */
export function descriptorOf(pythonModule: string): FileDescriptorProto {
  const at = pythonModule.indexOf(literalStart);
  if (at < 0) throw new Error('no serialized descriptor found');
  return fromBinary(FileDescriptorProtoSchema, pythonBytes(pythonModule, at + literalStart.length));
}

/** google/protobuf/*.proto come with protobuf-es, not with xds-protos. */
function wellKnownDescriptor(path: string): FileDescriptorProto | undefined {
  const name = /^google\/protobuf\/(\w+)\.proto$/.exec(path)?.[1];
  if (name === undefined) return undefined;
  const file = (wellKnown as Record<string, unknown>)[`file_google_protobuf_${name}`];
  return (file as { proto: FileDescriptorProto } | undefined)?.proto;
}

/**
 * The descriptors of `roots` and of all they import, each after its imports (as CodeGeneratorRequest.proto_file wants them).
 * @param directory where `xds-protos` was installed.
 * @throws Error naming the file that is missing or unreadable.
 */
export async function readDescriptors(directory: string, roots: readonly string[]): Promise<FileDescriptorProto[]> {
  const ordered = new Map<string, FileDescriptorProto>();
  const visit = async (path: string, importer: string): Promise<void> => {
    if (ordered.has(path)) return;
    const descriptor = wellKnownDescriptor(path) ?? (await readModule(directory, path, importer));
    for (const dependency of descriptor.dependency) await visit(dependency, path);
    ordered.set(path, descriptor);
  };
  for (const root of roots) await visit(root, 'roots.ts');
  return [...ordered.values()];
}

async function readModule(directory: string, path: string, importer: string): Promise<FileDescriptorProto> {
  const file = join(directory, path.replace(/\.proto$/, '_pb2.py'));
  try {
    return descriptorOf(await readFile(file, 'latin1'));
  } catch (error) {
    throw new Error(`${path} (wanted by ${importer}): ${error instanceof Error ? error.message : String(error)}`);
  }
}
