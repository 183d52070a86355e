import type { Json } from '../../../base/json.js';
import type { Budget, Scope } from './schema-scope.js';

/** Where in the value we are. */
export interface Place {
  readonly scope: Scope;
  readonly depth: number;
  /** Name of the property that is being filled; '' where there is none. */
  readonly name: string;
  /** Asks for another value of the same schema. */
  readonly variant: number;
  /** A value of the schema one level deeper, `undefined` when none is found. */
  readonly make: Make;
}

/** @param isWelcome whether a value that satisfies the schema is one that is wanted. */
type Make = (schema: Json, place: Place, isWelcome?: (value: Json) => boolean) => Json | undefined;

/** From here on only what is required is made, so that schemas that refer to themselves come to an end. */
const RICH_DEPTH = 5;
const RICH_NODES = 10_000;
const RICH_WORK = 100_000;
const RICH_CHARS = 100_000;

/** Whether there is room for more than is required. */
export function isRich({ depth, scope: { budget } }: Place): boolean {
  return depth < RICH_DEPTH && budget.nodes > RICH_NODES && budget.work > RICH_WORK && budget.chars > RICH_CHARS;
}

/** Whether nothing more can be made. */
export function isSpent({ nodes, work, chars }: Budget): boolean {
  return nodes < 0 || work < 0 || chars < 0;
}
