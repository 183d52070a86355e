import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';

/** The text of a message, its text parts joined by line ends; '' when it has none. */
export function textOf({ content }: JsonObject): string {
  if (typeof content === 'string') return content;
  return partsOf(content)
    .flatMap((part) => (part.type === 'text' && typeof part.text === 'string' ? [part.text] : []))
    .join('\n');
}

/** The image parts of a message. */
export function imagesOf({ content }: JsonObject): readonly JsonObject[] {
  return partsOf(content).filter((part) => part.type === 'image_url');
}

function partsOf(content: Json | undefined): readonly JsonObject[] {
  return Array.isArray(content) ? content.filter(isJsonObject) : [];
}
