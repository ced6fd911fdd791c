//! Changes prepared in an optimizer, which are committed or aborted together.

use kasmina_torch_ext::{Change, ParameterSink, SinkError, Ticket};

/// Changes prepared in an optimizer. Must end with [`commit`](Self::commit) or [`abort`](Self::abort).
#[derive(Debug, Default)]
#[must_use = "prepared changes must be committed or aborted"]
pub(in crate::model) struct Transaction {
    tickets: Vec<Ticket>,
}

impl Transaction {
    /// Prepares all changes; if one is refused, aborts the others.
    pub(in crate::model) fn prepare(
        sink: &mut dyn ParameterSink,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<Self, SinkError> {
        let mut transaction = Self::default();
        for change in changes {
            match sink.prepare(change) {
                Ok(ticket) => transaction.tickets.push(ticket),
                Err(error) => {
                    transaction.abort(sink);
                    return Err(error);
                }
            }
        }
        Ok(transaction)
    }

    /// Commits all changes; they take effect in the next step. Cannot fail.
    pub(in crate::model) fn commit(self, sink: &mut dyn ParameterSink) {
        for ticket in self.tickets {
            sink.commit(ticket);
        }
    }

    /// Discards all changes.
    pub(in crate::model) fn abort(self, sink: &mut dyn ParameterSink) {
        for ticket in self.tickets {
            sink.abort(ticket);
        }
    }
}
