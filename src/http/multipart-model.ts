/** What is to be known of a multipart body while it passes, unread. */
export interface MultipartModels {
  /** Takes the next piece of the body; gives the values of the `model` fields that became complete with it. */
  take(piece: Uint8Array): string[];
  /** Whether a part was found whose fields cannot be told: its headers are too long or in a form that nobody uses. */
  readonly isOpaque: boolean;
}

/** A part's headers and a model's name together have less. */
const MAX_PART_HEAD = 4_096;

/** RFC 2046 allows 70 characters. */
const BOUNDARY = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)/i;

/** The boundary that a content type names; `undefined` for what is no such multipart body. */
export function boundaryOf(contentType: string): string | undefined {
  const [, quoted, plain] = BOUNDARY.exec(contentType.slice(0, 512)) ?? [];
  return quoted ?? plain;
}

/**
 * Watches for the `model` field. The bytes pass on as they are, and no more of them is kept than the head of one part: a
 * file may be of any size.
 */
export function multipartModels(boundary: string): MultipartModels {
  const delimiter = `--${boundary}`;
  let held = '';
  const state = {
    isOpaque: false,
    take(piece: Uint8Array): string[] {
      const text = held + Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString('latin1');
      const models: string[] = [];
      let from = 0;
      for (;;) {
        const at = text.indexOf(delimiter, from);
        if (at === -1) {
          held = text.slice(Math.max(from, text.length - delimiter.length + 1));
          return models;
        }
        const head = text.slice(at + delimiter.length, at + delimiter.length + MAX_PART_HEAD);
        const part = readPart(head);
        if (part === 'incomplete') {
          held = text.slice(at);
          return models;
        }
        if (part === 'opaque') state.isOpaque = true;
        else if (part !== undefined) models.push(part.model);
        from = at + delimiter.length;
      }
    },
  };
  return state;
}

/** What a part is, from what follows its delimiter: the model, something else, or not to be told (yet). */
function readPart(head: string): { readonly model: string } | 'incomplete' | 'opaque' | undefined {
  if (head.startsWith('--')) return undefined;
  const end = head.indexOf('\r\n\r\n');
  if (end === -1) return head.length < MAX_PART_HEAD ? 'incomplete' : 'opaque';
  const disposition = /\r\ncontent-disposition:([^\r\n]*)/i.exec(head.slice(0, end))?.[1] ?? '';
  if (/;\s*name\*/i.test(disposition)) return 'opaque';
  if (!/;\s*name="?model"?\s*(?:;|$)/i.test(disposition)) return undefined;
  const value = head.slice(end + 4);
  const valueEnd = value.indexOf('\r\n');
  if (valueEnd === -1) return head.length < MAX_PART_HEAD ? 'incomplete' : 'opaque';
  return { model: Buffer.from(value.slice(0, valueEnd), 'latin1').toString('utf8') };
}
