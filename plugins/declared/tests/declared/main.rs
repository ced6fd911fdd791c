//! Declared blueprints as their authors see them: training of examples, messages, published schema and
//! reference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]

mod common;
mod examples;
mod messages;
mod operations;
mod parser;
mod published;
mod scripted;
mod torchscript;
