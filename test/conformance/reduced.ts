/** How much less than its case a test does: the tests and docs/conformance.md take these numbers from here. */
export const REDUCED = {
  /** Case 10. */
  requestsPerMinute: 6,
  /** Case 22, in bytes, of an input file and of any file. */
  uploadCaps: [1_000_000, 20_000_000],
  /** Case 24. */
  uploadIdleSeconds: 6,
  /** Case 32. */
  creates: 9,
  /** Cases 71 to 73: five tries, the default, take more than three minutes. */
  maxFaults: 2,
  /** Case 84; case 115 has 50,000. */
  linesAhead: 10_000,
  /** Case 91. */
  cancel: { graceSeconds: 10, maxSeconds: 90 },
  /** Case 101. */
  createdWithinSeconds: 10,
  /** Case 105; an answer is one MiB. `slow` is what `npm run test:slow` does. */
  download: { largeAnswers: 128, stallSeconds: 5, slow: { largeAnswers: 1024, stallSeconds: 60 } },
  /** Case 114. */
  bucketAwaySeconds: 35,
} as const;
