//! Tables, plain enough to be pasted anywhere.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

/// A table without lines; the named columns are numbers and stand to the right.
pub(crate) fn table(header: &[&str], numbers: &[&str]) -> Table {
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
    table
}

/// Prints it without the blanks that pad its last column.
pub(crate) fn print(table: &Table) {
    for line in table.lines() {
        outln!("{}", line.trim_end());
    }
}
