import type { ServerResponse } from 'node:http';
import { type Arrival, errorAnswer, type HttpUpstream, httpUpstream, jsonAnswer } from './http-upstream.js';

type Member = Record<string, unknown>;

/** An upstream that keeps files, uploads, batches and vector stores of everybody in one account, as OpenAI does. */
export interface ObjectUpstream extends HttpUpstream {
  /** Everything of one collection, oldest first. */
  objects(collection: string): readonly Member[];
  /** Puts an object there of which the gateway knows nothing. */
  plant(collection: string, object: Member): void;
}

const KINDS: Readonly<Record<string, { readonly prefix: string; readonly object: string }>> = {
  files: { prefix: 'file-', object: 'file' },
  uploads: { prefix: 'upload_', object: 'upload' },
  batches: { prefix: 'batch_', object: 'batch' },
  vector_stores: { prefix: 'vs_', object: 'vector_store' },
};

export async function objectUpstream(): Promise<ObjectUpstream> {
  const collections = new Map<string, Member[]>(Object.keys(KINDS).map((name) => [name, []]));
  const contents = new Map<string, Buffer>();
  let made = 0;
  const all = (name: string): Member[] => collections.get(name) ?? [];

  function create(name: string, more: Member = {}): Member {
    made += 1;
    const kind = KINDS[name];
    const object = { id: `${kind?.prefix}${String(made).padStart(8, '0')}`, object: kind?.object, ...more };
    all(name).push(object);
    return object;
  }

  function page(name: string, query: URLSearchParams): Member {
    const ordered = query.get('order') === 'asc' ? all(name) : all(name).toReversed();
    const limit = Number(query.get('limit') ?? 20);
    const index = (cursor: string): number => ordered.findIndex(({ id }) => id === query.get(cursor));
    const before = query.get('before') !== null && query.get('after') === null;
    const end = query.get('before') === null ? ordered.length : index('before');
    const begin = before ? Math.max(0, end - limit) : index('after') + 1;
    const data = ordered.slice(begin, Math.min(end, begin + limit));
    return {
      object: 'list',
      data,
      first_id: data[0]?.id ?? null,
      last_id: data.at(-1)?.id ?? null,
      has_more: before ? begin > 0 : begin + data.length < end,
    };
  }

  function answer({ method, url, body, headers }: Arrival, res: ServerResponse): unknown {
    const { pathname, searchParams } = new URL(url, 'http://upstream');
    const [, , name = '', id, action] = pathname.split('/');
    if (!collections.has(name)) return errorAnswer(res, 404, `Invalid URL (${method} ${pathname})`);
    const given = headers['content-type'] === 'application/json' && body().length > 0 ? JSON.parse(String(body())) : {};
    if (id === undefined && method === 'GET') return jsonAnswer(res, page(name, searchParams));
    if (id === undefined) {
      const made = create(name, given);
      contents.set(String(made.id), fileIn(body()));
      return jsonAnswer(res, made);
    }
    const found = all(name).find((object) => object.id === id);
    if (found === undefined) return errorAnswer(res, 404, `Upstream has no ${id}`);
    if (action === 'content')
      return res.writeHead(200, { 'content-type': 'text/plain' }).end(contents.get(id) ?? `content of ${id}`);
    if (action === 'complete') found.file = create('files');
    else if (action === 'finish') found.output_file_id = create('files').id;
    else if (action !== undefined && action !== 'cancel') return jsonAnswer(res, { object: 'list', data: [] });
    if (method !== 'DELETE') return jsonAnswer(res, found);
    all(name).splice(all(name).indexOf(found), 1);
    return jsonAnswer(res, { id, object: `${found.object}.deleted`, deleted: true });
  }

  const server = await httpUpstream(answer);
  return {
    ...server,
    objects: all,
    plant: (name, object) => void all(name).push(object),
  };
}

/** The file of a form, as clients write it. */
function fileIn(form: Buffer): Buffer {
  const head = form.indexOf('\r\n\r\n', form.indexOf('filename='));
  return form.subarray(head + 4, form.indexOf('\r\n--', head + 4));
}
