//! Prepared changes of an optimizer, to be committed or aborted together.

use kasmina_torch_ext::{Change, ParameterSink, SinkError, Ticket};

/// Changes that an optimizer has prepared. Exactly one of [`commit`](Self::commit) and [`abort`](Self::abort)
/// ends it.
#[derive(Debug, Default)]
#[must_use = "prepared changes must be committed or aborted"]
pub(in crate::model) struct Transaction {
    tickets: Vec<Ticket>,
}

impl Transaction {
    /// Prepares every change, or none.
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

    /// Makes all changes visible to the next step. Cannot fail.
    pub(in crate::model) fn commit(self, sink: &mut dyn ParameterSink) {
        for ticket in self.tickets {
            sink.commit(ticket);
        }
    }

    /// Discards all changes of the transaction.
    pub(in crate::model) fn abort(self, sink: &mut dyn ParameterSink) {
        for ticket in self.tickets {
            sink.abort(ticket);
        }
    }
}
