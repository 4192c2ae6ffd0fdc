package replproxy

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxWords bounds a sentence. A longer one has more than one condition.
const maxWords = 30

// unread are the pages that TestPlainPages does not read: what was written once and is not written anew.
var unread = []string{"CHANGELOG.md", "docs/soak.md"}

var (
	riddle   = regexp.MustCompile(`^(?:Package )?\w[\w.]* (?:is|are) (?:what|who|where|how|whom|whether|when|why)\b`)
	whatever = regexp.MustCompile(`^(?:Package )?(?:\w[\w.]* (\w+s)|\w[\w.]*s (\w+))` +
		`(?: (?:over|back|up|out|in|to|on|at|for|of|with|from|by))? (?:what|who|whom|where)\b`)
	sentence  = regexp.MustCompile(`[.!?][)"”\]]*\s+`)
	listItem  = regexp.MustCompile(`^\s*(?:\d+\.|[-*])\s+`)
	directive = regexp.MustCompile(`^//\w`)
	codeSpan  = regexp.MustCompile("`[^`]*`")
	message   = regexp.MustCompile(`^> - (?:warning|log): `) // of the program: TestRunbook finds it in the code
	oldADR    = regexp.MustCompile(`^docs/adr/00[0-6]\d|^docs/adr/007\d`)
)

// questions are verbs behind which "who" and the like ask something: "decides who may come in".
var questions = []string{"decides", "decide", "knows", "know"}

// isRiddle reports whether a text begins as "X is what comes" or "X takes what comes", where a noun would say which
// thing that is.
func isRiddle(text string) bool {
	m := whatever.FindStringSubmatch(text)
	return riddle.MatchString(text) || m != nil && !slices.Contains(questions, m[1]+m[2])
}

// TestPlainEnglish: a comment begins with the name and a verb, and a sentence of it has one condition.
func TestPlainEnglish(t *testing.T) {
	for _, s := range sources(t) {
		for _, g := range s.file.Comments {
			for _, text := range paragraphs(g) {
				if isRiddle(text) {
					t.Errorf("%s: %q reads as a riddle: begin with the name and a verb, and name the thing that it takes, "+
						"returns, holds …", s.fset.Position(g.Pos()), text)
				}
				for _, x := range sentence.Split(text, -1) {
					if n := len(strings.Fields(x)); n > maxWords {
						t.Errorf("%s: a sentence of %d words, at most %d: %q", s.fset.Position(g.Pos()), n, maxWords, x)
					}
				}
			}
		}
	}
}

// TestCommentsBeginWithTheName: the comment of a function, or of a type or value that is declared alone, begins with
// its name. One that came along when the name was changed describes something that is not there.
func TestCommentsBeginWithTheName(t *testing.T) {
	read := 0
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			name, doc := documented(d)
			if name == "" || strings.TrimSpace(doc.Text()) == "" { // go:embed alone has no text
				continue
			}
			read++
			first, _, _ := strings.Cut(strings.TrimSpace(doc.Text()), " ")
			if strings.TrimRight(first, ":,'s\n") != strings.TrimRight(name, "s") {
				t.Errorf("%s: the comment of %s begins with %q", s.fset.Position(doc.Pos()), name, first)
			}
		}
	}
	if read < 3000 {
		t.Errorf("%d comments were read", read)
	}
}

// TestOwnHasAnOwner: "this proxy's store" says whose it is, which "own" behind an article does not.
func TestOwnHasAnOwner(t *testing.T) {
	read := 0
	for _, p := range cited(t) {
		if slices.Contains(unread, p.path) {
			continue
		}
		read++
		text := strings.Join(strings.Fields(strings.ToLower(p.text)), " ")
		for rest, found := text, true; found; {
			_, rest, found = strings.Cut(rest, "the "+"own ")
			if found {
				t.Errorf("%s: \"the own …\": say whose: %q", p.path, "own "+rest[:min(len(rest), 40)])
			}
		}
	}
	if read < 3000 {
		t.Errorf("%d texts were read", read)
	}
}

// TestFunctionsDoSomething: the comment of a function says what it does ("X returns the …"), not what it is.
func TestFunctionsDoSomething(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.test || f.Doc == nil {
				continue
			}
			words := strings.Fields(f.Doc.Text())
			if len(words) > 1 && (slices.Contains([]string{"is", "are"}, words[1]) || strings.HasSuffix(words[0], ":")) {
				t.Errorf("%s: %q: say what it does or returns", s.fset.Position(f.Pos()), strings.Join(words[:2], " "))
			}
		}
	}
}

// documented returns the name and the comment of a declaration of one thing; "": it declares several, or nothing.
func documented(d ast.Decl) (name string, doc *ast.CommentGroup) {
	switch x := d.(type) {
	case *ast.FuncDecl:
		return x.Name.Name, x.Doc
	case *ast.GenDecl:
		if x.Lparen.IsValid() || len(x.Specs) != 1 {
			return "", nil
		}
		switch spec := x.Specs[0].(type) {
		case *ast.TypeSpec:
			return spec.Name.Name, x.Doc
		case *ast.ValueSpec:
			return spec.Names[0].Name, x.Doc
		}
	}
	return "", nil
}

// paragraphs returns the prose of a comment, each paragraph and item of a list in one line. What is indented by a tab
// is a picture.
func paragraphs(g *ast.CommentGroup) (all []string) {
	var text []string
	end := func() {
		if len(text) > 0 {
			all = append(all, strings.Join(text, " "))
		}
		text = nil
	}
	for _, c := range g.List {
		line, ok := strings.CutPrefix(c.Text, "//")
		switch {
		case !ok, directive.MatchString(c.Text) && strings.Contains(c.Text, ":"): // go:embed and the like
			continue
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "\t"):
			end()
			continue
		case listItem.MatchString(line):
			end()
			line = listItem.ReplaceAllString(line, "")
		}
		text = append(text, strings.TrimSpace(line))
	}
	end()
	return all
}

// TestPlainPages: the same for documents. A cell of a table stands for itself, and so does a step of a list.
func TestPlainPages(t *testing.T) {
	for _, p := range pages(t) {
		if !strings.HasSuffix(p.path, ".md") || slices.Contains(unread, p.path) || oldADR.MatchString(p.path) {
			continue
		}
		for _, text := range prose(p.text) {
			for _, x := range sentence.Split(text, -1) {
				if n := len(strings.Fields(codeSpan.ReplaceAllString(x, "code"))); n > maxWords {
					t.Errorf("%s: a sentence of %d words, at most %d: %q", p.path, n, maxWords, x)
				}
			}
		}
	}
}

// prose returns the paragraphs, steps of lists and cells of tables of a page, without blocks of code and messages of
// the program.
func prose(page string) (all []string) {
	var text []string
	end := func() {
		if len(text) > 0 {
			all = append(all, strings.Join(text, " "))
		}
		text = nil
	}
	code := false
	for line := range strings.Lines(page) {
		bare := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(bare, "```"):
			code = !code
			end()
		case code:
		case bare == "", strings.HasPrefix(bare, "#"), message.MatchString(bare):
			end()
		case strings.HasPrefix(bare, "|"):
			end()
			for cell := range strings.SplitSeq(bare, "|") {
				for piece := range strings.SplitSeq(cell, "<br>") {
					all = append(all, strings.TrimSpace(piece))
				}
			}
		case listItem.MatchString(line):
			end()
			text = append(text, listItem.ReplaceAllString(bare, ""))
		default:
			text = append(text, bare)
		}
	}
	end()
	return all
}

// TestPlainEnglishSees shows both tests what they must find.
func TestPlainEnglishSees(t *testing.T) {
	long := strings.Repeat("word ", maxWords+1)
	g := &ast.CommentGroup{}
	for _, line := range []string{"// X is what a riddle", "// says.", "//", "//\t" + long, "//  1. " + long, "//go:embed x"} {
		g.List = append(g.List, &ast.Comment{Slash: token.NoPos, Text: line})
	}
	all := paragraphs(g)
	if len(all) != 2 || !isRiddle(all[0]) || len(strings.Fields(all[1])) != maxWords+1 {
		t.Errorf("of a comment is read %q", all)
	}
	for text, bad := range map[string]bool{
		"X takes what comes.": true, "Limits bound what clients have.": true, "x takes over what a member says": true, "Package x is what": true,
		"X finds where it is.": true, "x holds who came": true, "X decides who comes in.": false, "Package x knows who may log in": false,
		"X reports whether it is what it was.": false, "X returns the name, and what it means": false,
	} {
		if isRiddle(text) != bad {
			t.Errorf("%q: a riddle: %t", text, !bad)
		}
	}
	if all := prose("# a\n\nOne\ntwo.\n\n```sh\n" + long + "\n```\n> - log: f\n| a | b<br>c |\n- d\n  e\n"); !slices.Equal(all, []string{
		"One two.", "", "a", "b", "c", "", "d e"}) {
		t.Errorf("of a page is read %q", all)
	}
}
