//! Every promise of the plugin interface, each tried in a process of its own.

kasmina_testkit::conformance!();
