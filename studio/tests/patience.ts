//! Milliseconds that something may take on a slow machine which has other work, too.
export const patience = 90_000
