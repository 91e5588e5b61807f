//! Html: a page as one self-contained document.
//!
//! Comes in   a page.
//! Goes out   HTML with its own few styles, readable by screen readers and on paper.
//! Never      a script, a request to anywhere, or an unescaped value; the document says so itself
//!            in its content security policy.

use super::{Body, Page};
use std::fmt::Write as _;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem;margin-bottom:.2rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem}dt{font-weight:600}dd{margin:0}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-bottom:1px solid #8884}\
pre{white-space:pre-wrap;font:inherit;margin:0 0 1rem}\
@media print{body{margin:0;max-width:none}}";

/// The page as HTML.
pub fn html(page: &Page) -> String {
    let title = escaped(&page.title);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<dl>\n"
    );
    for (name, value) in &page.facts {
        let _ = writeln!(text, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
    }
    text.push_str("</dl>\n");
    for (number, section) in page.sections.iter().enumerate() {
        let heading = escaped(section.title);
        let _ = writeln!(text, "<section aria-labelledby=\"part-{number}\">");
        let _ = writeln!(text, "<h2 id=\"part-{number}\">{heading}</h2>");
        put_body(&mut text, &section.body);
        text.push_str("</section>\n");
    }
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

fn put_body(text: &mut String, body: &Body) {
    match body {
        Body::Table(head, rows) => {
            text.push_str("<table>\n<thead><tr>");
            for name in head {
                let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(name));
            }
            text.push_str("</tr></thead>\n<tbody>\n");
            for row in rows {
                text.push_str("<tr>");
                for cell in row {
                    let _ = write!(text, "<td>{}</td>", escaped(cell));
                }
                text.push_str("</tr>\n");
            }
            text.push_str("</tbody>\n</table>\n");
        }
        Body::Notes(notes) => {
            for note in notes {
                let (title, body) = (escaped(&note.title), escaped(&note.text));
                let _ = writeln!(text, "<h3>{title}</h3>\n<pre>{body}</pre>");
            }
        }
        Body::Sentences(sentences) => {
            text.push_str("<ul>\n");
            for sentence in sentences {
                let _ = writeln!(text, "<li>{}</li>", escaped(sentence));
            }
            text.push_str("</ul>\n");
        }
    }
}

/// Text that can stand anywhere in a document; control characters become blanks.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(char),
            control if control.is_control() => safe.push(' '),
            plain => safe.push(plain),
        }
    }
    safe
}
