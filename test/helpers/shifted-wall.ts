/** Environment of a process that begins with a wall clock that is off by so many milliseconds, as if somebody had set it. */
export function shiftedWall(ms: number): NodeJS.ProcessEnv {
  const code = `
    const now = Date.now, origin = performance.timeOrigin;
    Date.now = () => now() + ${ms};
    Object.defineProperty(performance, 'timeOrigin', { value: origin + ${ms} });
  `;
  return { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
}
