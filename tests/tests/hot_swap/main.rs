//! Swapping the build of a plugin in a model in training: adopted between two steps, on trial, then confirmed
//! or rolled back.

mod panics;
mod run;
mod trial;
