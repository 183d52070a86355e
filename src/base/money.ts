/** Nano-dollars, the unit in which money is counted, in one US dollar. */
export const NANO_PER_USD = 1_000_000_000;
