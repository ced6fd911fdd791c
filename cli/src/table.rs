//! Tables in plain text.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use kasmina_registry::plain;

/// A table without borders.
pub(crate) struct Rows(Table);

/// Returns an empty table with a header. The columns in `numbers` are right-aligned.
pub(crate) fn table(header: &[&str], numbers: &[&str]) -> Rows {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    for (index, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if numbers.contains(name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    Rows(table)
}

impl Rows {
    /// Adds a row. Line breaks in a cell are escaped, so that its text cannot look like another row.
    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.0.add_row(cells.into_iter().map(|cell| plain::one_line(cell.as_ref()).into_owned()));
    }
}

/// Prints a table without trailing spaces.
pub(crate) fn print(rows: &Rows) {
    for line in rows.0.lines() {
        outln!("{}", line.trim_end());
    }
}
