/** A header's value and its parameters, such as `form-data` and `name`. */
export interface Parametrised {
  readonly value: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** One parameter. A backslash before a quote ends the value for some parsers and does not for others. */
const PARAMETER = /[ \t]*;[ \t]*([\w-]+\*?)=(?:"((?:[^"\\\r\n]|\\[^"\r\n])*)"|([^\s;"\\]*))/y;

/** A value with parameters in the form that all parsers read alike; `undefined` for any other: doubled, continued, badly quoted. */
export function parametersOf(header: string): Parametrised | undefined {
  const value = /^[\w./+-]+/.exec(header)?.[0];
  if (value === undefined) return undefined;
  const parameters = new Map<string, string>();
  let at = value.length;
  while (!/^[ \t]*;?[ \t]*$/.test(header.slice(at))) {
    PARAMETER.lastIndex = at;
    const [whole, name = '', quoted, token = ''] = PARAMETER.exec(header) ?? [];
    const key = name.toLowerCase();
    // `filename*` beside `filename` is what clients write; no other name is ever encoded.
    const isEncoded = key.endsWith('*') && key !== 'filename*';
    if (whole === undefined || isEncoded || parameters.has(key)) return undefined;
    parameters.set(key, quoted ?? token);
    at += whole.length;
  }
  return { value, parameters };
}
