/** Bits told to the application; `../event-bits.ts` says what they mean. */
export const SYN_ARRIVED: u32 = 1;
export const ACCEPT: u32 = 2;
export const CONNECTED: u32 = 4;
export const READABLE: u32 = 8;
export const WRITABLE: u32 = 16;
export const EOF: u32 = 32;
export const RESET: u32 = 64;
export const ERROR: u32 = 128;
export const CLOSED: u32 = 256;

/** Why a connection failed, numbers of `../errors.ts`. */
export const E_NONE: u8 = 0;
export const E_REFUSED: u8 = 1;
export const E_RESET: u8 = 2;
export const E_TIMEOUT: u8 = 3;
export const E_UNREACHABLE: u8 = 4;
export const E_ABORTED: u8 = 5;
