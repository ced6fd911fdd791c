//! Checks that run before the static constructors of libtorch, which would otherwise end the process with a
//! message of their own.

#![allow(
    unsafe_code,
    reason = "a function that runs before the constructors of libraries is named by a link section"
)]

use std::io::Write as _;

/// Ends the program if its working directory no longer exists.
extern "C" fn check_working_directory() {
    let Err(error) = std::env::current_dir() else { return };
    let text = format!(
        "  x the working directory cannot be found: {error}\n  help: it was removed, or you may not read it; change to another one\n"
    );
    let _ = std::io::stderr().write_all(text.as_bytes());
    signal_hook::low_level::exit(1);
}

#[used]
#[unsafe(link_section = ".preinit_array")]
static CHECK: extern "C" fn() = check_working_directory;
