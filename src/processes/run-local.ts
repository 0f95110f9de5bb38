export const runLocal = async (): Promise<number> => await Promise.resolve(0);
