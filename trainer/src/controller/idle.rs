//! The controller `none`: gives no commands, for controls and for runs that the user controls.

use super::{Controller, Observation};
use kasmina::Command;
use kasmina::model::Germinate;

/// A controller that never gives a command.
#[derive(Debug, Clone, Copy)]
pub struct Idle;

impl Controller for Idle {
    fn id(&self) -> &'static str {
        "none"
    }
    fn rehearsals(&self, _: &[String]) -> Vec<Germinate> {
        Vec::new()
    }
    fn decide(&mut self, _: &Observation<'_>) -> Vec<Command> {
        Vec::new()
    }
}
