//! Tables whose columns line up on a terminal.

use unicode_width::UnicodeWidthStr;

use super::terminal::plain;

/// Blanks between two columns.
const GAP: usize = 2;

/// A table that is printed page by page. A column is as wide as its widest cell so far: a long value on a later page widens
/// its column from that page on.
pub(super) struct Table<const N: usize> {
    headings: Option<[&'static str; N]>,
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    /// A table with these columns: the heading and the minimum width of each, in terminal cells.
    pub(super) fn new(columns: [(&'static str, usize); N]) -> Self {
        Self {
            headings: Some(columns.map(|(heading, _)| heading)),
            widths: columns.map(|(heading, least)| least.max(heading.width())),
        }
    }

    /// The lines of the next page; the first begins with the headings.
    pub(super) fn page(&mut self, rows: Vec<[String; N]>) -> String {
        let rows: Vec<[String; N]> = rows
            .into_iter()
            .map(|row| row.map(|cell| plain(&cell)))
            .collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let headings = self.headings.take().map(|row| row.map(str::to_owned));
        headings
            .iter()
            .chain(&rows)
            .map(|row| self.line(row))
            .collect()
    }

    fn line(&self, row: &[String; N]) -> String {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(self.widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width() + GAP));
        }
        format!("{}\n", line.trim_end_matches(' '))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 3]) -> [String; 3] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_line_up_with_wide_and_zero_width_characters() {
        let mut table = Table::new([("A", 0), ("NAME", 0), ("LAST", 0)]);
        let page = table.page(vec![
            row(["1", "山田太郎", "x"]),
            row(["22", "e\u{301}va", "y"]),
            row(["3", "", "z"]),
        ]);
        assert_eq!(
            page,
            "A   NAME      LAST\n1   山田太郎  x\n22  e\u{301}va       y\n3             z\n"
        );
    }

    #[test]
    fn headings_are_printed_once_and_a_column_never_becomes_narrower() {
        let mut table = Table::new([("A", 3), ("B", 0), ("C", 0)]);
        assert_eq!(
            table.page(vec![row(["1", "long", "x"])]),
            "A    B     C\n1    long  x\n"
        );
        assert_eq!(table.page(vec![row(["2", "b", "x"])]), "2    b     x\n");
        assert_eq!(table.page(vec![]), "");
    }

    #[test]
    fn control_characters_in_a_cell_are_escaped() {
        let mut table = Table::new([("A", 0)]);
        assert_eq!(
            table.page(vec![["\u{1b}[2J".to_owned()]]),
            "A\n\\u{1b}[2J\n"
        );
    }
}
