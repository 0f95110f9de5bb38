/**
 * The environment for processes that tests start: that of this process without `NIGHTSHIFT_*`, which a developer may have set,
 * and with these variables.
 */
export function testEnvironment(variables: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('NIGHTSHIFT_'));
  return { ...Object.fromEntries(own), ...variables };
}
