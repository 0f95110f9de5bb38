/** How the names of source files end: `.ts`, or `.js` in the package that npm packs. For files that are started instead of imported. */
export const SOURCE_EXTENSION = import.meta.url.slice(-3);
