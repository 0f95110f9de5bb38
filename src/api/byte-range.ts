/** What a `Range` header asks of content of `size` bytes: one range, all of it, or nothing that exists (416). */
export function readRange(header: string, size: number): { start: number; end: number } | 'all' | 'unsatisfiable' {
  // Several ranges, other units and nonsense may be ignored (RFC 9110, 14.2); the answer is then the whole content.
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header.replaceAll(' ', ''));
  const [first, last] = [match?.[1] ?? '', match?.[2] ?? ''];
  if (first === '' && last === '') return 'all';
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 };
  }
  const start = Number(first);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < start) return 'all';
  return start >= size ? 'unsatisfiable' : { start, end };
}
