//! What runs before the static constructors of libtorch: a check, because they would otherwise end the process
//! with a message of their own, and the level of libtorch's log.

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

/// Lets libtorch log errors only, unless the user has chosen a level. Its warnings about connections between
/// ranks repeat what this program says in its own words.
extern "C" fn set_log_level() {
    const LEVEL: &str = "TORCH_CPP_LOG_LEVEL";
    if std::env::var_os(LEVEL).is_none() {
        // SAFETY: no other thread exists before the constructors of libraries have run.
        unsafe { std::env::set_var(LEVEL, "ERROR") };
    }
}

#[used]
#[unsafe(link_section = ".preinit_array")]
static CHECK: [extern "C" fn(); 2] = [check_working_directory, set_log_level];
