/** Whether the code is that of a digit. */
export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Whether the code is that of one of `"\/bfnrt`, which may follow a backslash; `u` has its own rule. */
export function isSimpleEscape(code: number): boolean {
  switch (code) {
    case 0x22:
    case 0x5c:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return true;
    default:
      return false;
  }
}

/** The unit of UTF-16 that four hexadecimal digits spell there; -1 for anything else. */
export function spelledUnit(bytes: Uint8Array, from: number): number {
  let unit = 0;
  for (let at = from; at < from + 4; at += 1) {
    const code = bytes[at] ?? 0;
    const letter = code | 0x20;
    if (isDigit(code)) unit = 16 * unit + code - 0x30;
    else if (letter >= 0x61 && letter <= 0x66) unit = 16 * unit + letter - 0x57;
    else return -1;
  }
  return unit;
}
