export const runWorker = async (): Promise<number> => await Promise.resolve(0);
