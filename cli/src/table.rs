//! Tables, plain enough to be pasted anywhere.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use kasmina_registry::plain;

/// A table without lines between its rows.
pub(crate) struct Rows(Table);

/// A table with a header; the named columns are numbers and stand to the right.
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
    /// Adds a row. A cell is one line: a name with a line break in it cannot look like another row.
    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.0.add_row(cells.into_iter().map(|cell| plain::one_line(cell.as_ref()).into_owned()));
    }
}

/// Prints it without the blanks that pad its last column.
pub(crate) fn print(rows: &Rows) {
    for line in rows.0.lines() {
        outln!("{}", line.trim_end());
    }
}
