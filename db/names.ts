// Names that people choose, as the ledger's constraints have them.

/** Of agents and queues: 1 to 64 of these. */
export const NAME = /^[A-Za-z0-9._-]{1,64}$/;
export const EXPECTED_NAME = 'expected 1 to 64 of the characters A-Z a-z 0-9 . _ -';

/** Of command types. */
export const TYPE_NAME = /^[A-Za-z0-9_.:-]{1,64}$/;
export const EXPECTED_TYPE_NAME = 'expected 1 to 64 of the characters A-Z a-z 0-9 . _ : -';
