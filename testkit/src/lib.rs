//! What every plugin must hold to, as checks that anyone can run.
