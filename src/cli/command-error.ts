/** A command cannot do what was asked; the message is one sentence for the person who asked. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
