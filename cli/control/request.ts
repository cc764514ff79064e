/**
 * One call of JSON-RPC 1.0 as Go's net/rpc/jsonrpc serves it: the request's fields, the answer's form, and the texts
 * for calls that reach no method. Results are always strings (a document is a string that holds JSON).
 */

export type Method = (argument: string) => string | Promise<string>;
export type Methods = ReadonlyMap<string, Method>;

const goType = (value: unknown): string => {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  return typeof value;
};

const answer = (id: unknown, result: string | null, error: string | null): string =>
  `${JSON.stringify({ id: id ?? null, result, error })}\n`;

/** The single string argument, or why there is none. Go takes the first of `params` and leaves the rest. */
function argumentOf(params: unknown): { ok: true; value: string } | { ok: false; error: string } {
  if (params === undefined || params === null) return { ok: false, error: 'jsonrpc: request body missing params' };
  if (!Array.isArray(params)) {
    return { ok: false, error: `json: cannot unmarshal ${goType(params)} into Go value of type [1]interface {}` };
  }
  const value: unknown = params[0];
  if (value === undefined || value === null) return { ok: true, value: '' };
  if (typeof value !== 'string') {
    return { ok: false, error: `json: cannot unmarshal ${goType(value)} into Go value of type string` };
  }
  return { ok: true, value };
}

function methodOf(name: string, methods: Methods): { ok: true; method: Method } | { ok: false; error: string } {
  const dot = name.lastIndexOf('.');
  if (dot < 0) return { ok: false, error: `rpc: service/method request ill-formed: ${name}` };
  const method = methods.get(name);
  if (method !== undefined) return { ok: true, method };
  const known = [...methods.keys()].some(key => key.startsWith(`${name.slice(0, dot)}.`));
  return { ok: false, error: `rpc: can't find ${known ? 'method' : 'service'} ${name}` };
}

/** The answer line to one request, or undefined when it is no request at all. Never throws. */
export async function answerRequest(text: string, methods: Methods): Promise<string | undefined> {
  let request: { method?: unknown; params?: unknown; id?: unknown };
  try {
    request = JSON.parse(text) as typeof request;
  } catch {
    return undefined;
  }
  const { method: name = '', params, id } = request;
  if (typeof name !== 'string') return undefined;
  const found = methodOf(name, methods);
  if (!found.ok) return answer(id, null, found.error);
  const argument = argumentOf(params);
  if (!argument.ok) return answer(id, null, argument.error);
  try {
    return answer(id, await found.method(argument.value), null);
  } catch (error) {
    return answer(id, null, (error as Error).message || 'unknown error');
  }
}
