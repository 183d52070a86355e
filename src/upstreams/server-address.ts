/** The place of one server, and of the API on it. */
export interface ServerAddress {
  /** `http://` or `https://`, with host and port. */
  readonly origin: string;
  readonly isSecure: boolean;
  /** Host, with its port where that is not the usual one, as a request names it. */
  readonly host: string;
  /** Name or address alone; an IPv6 address without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** Path of a Unix socket, to which connections go instead. */
  readonly socketPath: string | undefined;
  /** Path of the API, without a slash at its end. */
  readonly path: string;
}

/** Reads a `baseUrl`. @throws {TypeError} for one that cannot be right. */
export function serverAddressOf(baseUrl: string): ServerAddress {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  const isPlain =
    url !== undefined && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (isPlain && url.protocol === 'unix:' && url.host === '') return socketAddressOf(url.pathname);
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(
      'Expected `baseUrl` to be an http or https address without user name, query or fragment, or like `unix:/run/llm.sock:/v1`',
    );
  }
  const { origin, host, port, pathname } = url;
  const isSecure = url.protocol === 'https:';
  const usualPort = isSecure ? 443 : 80;
  return {
    origin,
    isSecure,
    host,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? usualPort : Number(port),
    socketPath: undefined,
    path: withoutSlashes(pathname),
  };
}

/** Reads the path of a Unix socket and, after a colon, that of the API behind it. */
function socketAddressOf(pathname: string): ServerAddress {
  const colon = pathname.indexOf(':');
  const [socketPath, path] = colon < 0 ? [pathname, '/'] : [pathname.slice(0, colon), pathname.slice(colon + 1)];
  const file = decoded(socketPath);
  if (file?.startsWith('/') !== true || !path.startsWith('/')) {
    throw new TypeError('Expected the `baseUrl` of a Unix socket to be like `unix:/run/llm.sock:/v1`');
  }
  return {
    origin: 'http://localhost',
    isSecure: false,
    host: 'localhost',
    hostname: 'localhost',
    port: 80,
    socketPath: file,
    path: withoutSlashes(path),
  };
}

/** The text that a part of an address stands for; `undefined` if its escapes make none, or none that can be a file's path. */
function decoded(part: string): string | undefined {
  try {
    const text = decodeURIComponent(part);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}

function withoutSlashes(path: string): string {
  return path.replace(/(?<!\/)\/+$/, '');
}
