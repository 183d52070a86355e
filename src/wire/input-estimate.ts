import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { type JsonDocument, type JsonOutline, outlinedByteLength } from '../base/json-document.js';
import { membersIn, type Span } from '../base/json-scan.js';
import { BYTES_PER_VALUE, type InputEstimate, InputSum, KNOWN_NAMES, KNOWN_WORDS, READ } from './input-sum.js';
import { IMAGE_TOKENS, isMediumData, MEDIA, type Medium, mediumOf, mediumTokens } from './media.js';

/** Most bytes of a tree that its texts and names leave unexplained before it is looked at for names that stand twice. */
const MAX_UNEXPLAINED_BYTES = 4_096;

/**
 * Estimates the input of a request in one pass over its body: every text in it counts, under whatever name, unless it is known
 * to cost otherwise, as an image's data. Costs about a microsecond for each KB. The depth of bodies is bounded, as is this.
 * @param unparsedValues numbers that the outline does not have.
 */
export function estimateInput(outline: JsonOutline, document: JsonDocument, unparsedValues = 0): InputEstimate {
  const sum = new InputSum(BYTES_PER_VALUE * unparsedValues);
  const pass = new TreePass(sum, outline);
  for (let member = document.members.first; member !== undefined; member = member.next) {
    const { name } = member;
    if (READ.has(name)) pass.addTree(readMember(outline.body, name), document, member);
    else sum.addWritten(name, member.end - member.start);
  }
  return sum;
}

/** One of the members that are read; by its own name, as to look it up by a name that varies leaves garbage. */
function readMember({ messages, input, prompt, instructions }: JsonObject, name: string): Json | undefined {
  if (name === 'messages') return messages;
  if (name === 'input') return input;
  return name === 'prompt' ? prompt : instructions;
}

/** A pass over the parsed tree. */
class TreePass {
  private readonly sum: InputSum;
  private readonly outline: JsonOutline;

  constructor(sum: InputSum, outline: JsonOutline) {
    this.sum = sum;
    this.outline = outline;
  }

  addTree(value: Json | undefined, { bytes, members }: JsonDocument, span: Span): void {
    const { sum } = this;
    sum.beginTree();
    this.addValue(value, undefined);
    sum.endTree(Array.isArray(value) ? value.length : 0, value === this.outline.body.messages);
    const unexplained = span.end - span.start - sum.seenBytes;
    // Of a name that stands twice in an object the parser keeps the last, and others may read the first.
    if (unexplained <= MAX_UNEXPLAINED_BYTES || members.keysWithin - members.size <= sum.members) return;
    if (membersIn(bytes, span) > sum.members) sum.bytes += unexplained;
  }

  private addValue(value: Json | undefined, medium: Medium | undefined): void {
    if (typeof value === 'string') this.addText(value);
    else if (Array.isArray(value)) this.addItems(value);
    else if (isJsonObject(value)) this.addObject(value, medium);
    else if (typeof value === 'number' || typeof value === 'boolean') this.sum.addValue();
  }

  private addItems(items: readonly Json[]): void {
    this.sum.containers += 1;
    for (let at = 0; at < items.length; at += 1) {
      const item = items[at];
      if (item === null) this.sum.addValue();
      else this.addValue(item, undefined);
    }
  }

  /** @param within the medium of the part that the object stands in. */
  private addObject(object: JsonObject, within: Medium | undefined): void {
    const { sum } = this;
    const own = object.type === undefined ? mediumOf(object) : MEDIA.get(object.type);
    const medium = own ?? within;
    let hasData = false;
    sum.containers += 1;
    for (const name in object) {
      const member = object[name];
      sum.members += 1;
      sum.seenBytes += name.length;
      if (!KNOWN_NAMES.has(name)) sum.bytes += outlinedByteLength(this.outline, name);
      if (typeof member !== 'string') {
        this.addValue(member, own);
        continue;
      }
      if (medium !== undefined && isMediumData(name, member)) {
        sum.seenBytes += member.length;
        sum.addMedium(mediumTokens(medium, object, member));
        hasData = true;
      } else if ((name === 'type' || name === 'role') && KNOWN_WORDS.has(member)) sum.seenBytes += member.length;
      else this.addText(member);
    }
    if (own === 'image' && !hasData && !isJsonObject(object.image_url) && !isJsonObject(object.source))
      sum.addMedium(IMAGE_TOKENS);
  }

  private addText(text: string): void {
    this.sum.addText(outlinedByteLength(this.outline, text));
  }
}
