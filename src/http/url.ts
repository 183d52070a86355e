/** The path of a URL without host. */
export function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}

/** The query of a URL without host, with its `?`; empty where it has none. */
export function searchOf(url: string): string {
  return url.slice(pathOf(url).length);
}

/** The parameters of a URL without host; its query may hold further `?`s. */
export function queryOf(url: string): URLSearchParams {
  return new URLSearchParams(searchOf(url));
}
