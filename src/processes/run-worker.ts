export const runWorker = async (): Promise<number> => await new Promise((resolve) => process.once('SIGTERM', () => resolve(0)) && setInterval(() => {}, 1000));
