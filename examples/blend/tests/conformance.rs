//! Runs the conformance checks of the plugin interface on this plugin, in child processes.

kasmina_testkit::conformance!();
