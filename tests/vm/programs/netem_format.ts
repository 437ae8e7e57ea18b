/** What a datagram begins with: its number. The rest is the pattern from that number on. */
export const SEQUENCE_BYTES = 4;
