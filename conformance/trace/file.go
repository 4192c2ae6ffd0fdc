package trace

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// File is a trace file: exchanges on one subject with what the recorded servers answered.
type File struct {
	Head      []string // the comment at its top, line by line
	Servers   []string // versions recorded, oldest first, as "15.20"
	Exchanges []*Exchange
}

// Exchange is a story of its own: connections that are opened, what is sent on them, what comes back.
// It leaves nothing behind on the server.
type Exchange struct {
	Name    string
	Comment []string
	Steps   []*Step
}

// Step is one line of the script. Answers are the lines that came back, by major version.
type Step struct {
	Text    string
	Answers map[int][]string
}

// How the lines of a trace file begin. Others are steps.
const (
	beginComment  = "#"
	beginServers  = "servers "
	beginExchange = "== "
	beginAnswer   = "    "
	beginMajors   = "  "
)

// Read reads a trace file.
func Read(path string) (*File, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &File{}
	r := reader{f: f}
	for n, line := range strings.Split(string(content), "\n") {
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n+1, err)
		}
	}
	return f, nil
}

type reader struct {
	f      *File
	step   *Step
	majors []int // to which the next answers belong
}

func (r *reader) line(line string) error {
	exchanges := r.f.Exchanges
	switch {
	case line == "":
		return nil
	case strings.HasPrefix(line, beginExchange):
		r.f.Exchanges = append(exchanges, &Exchange{Name: line[len(beginExchange):]})
		r.step = nil
	case strings.HasPrefix(line, beginServers):
		r.f.Servers = strings.Fields(line[len(beginServers):])
	case strings.HasPrefix(line, beginAnswer), strings.HasPrefix(line, beginMajors):
		return r.answer(line)
	case len(exchanges) == 0 && strings.HasPrefix(line, beginComment):
		r.f.Head = append(r.f.Head, line)
	case len(exchanges) == 0:
		return fmt.Errorf("%q stands before the first exchange", line)
	case strings.HasPrefix(line, beginComment):
		last := exchanges[len(exchanges)-1]
		last.Comment = append(last.Comment, line)
	default:
		r.step = &Step{Text: line, Answers: map[int][]string{}}
		last := exchanges[len(exchanges)-1]
		last.Steps = append(last.Steps, r.step)
		r.majors = r.f.majors()
		for _, m := range r.majors {
			r.step.Answers[m] = nil
		}
	}
	return nil
}

func (r *reader) answer(line string) error {
	if r.step == nil {
		return fmt.Errorf("%q answers nothing", line)
	}
	if answer, ok := strings.CutPrefix(line, beginAnswer); ok {
		for _, m := range r.majors {
			r.step.Answers[m] = append(r.step.Answers[m], answer)
		}
		return nil
	}
	r.majors = nil
	for _, word := range strings.Fields(strings.TrimSuffix(line, ":")) {
		m, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("expected major versions, got %q", line)
		}
		r.majors = append(r.majors, m)
	}
	return nil
}

func (f *File) majors() []int {
	var all []int
	for _, v := range f.Servers {
		all = append(all, major(v))
	}
	return all
}

// major returns 15 for "15.20".
func major(version string) int {
	text, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(text)
	return n
}

// Recorded reports whether the file was recorded from that very version, as "15.20".
func (f *File) Recorded(version string) bool { return slices.Contains(f.Servers, version) }

// Write writes a trace file. Where all majors agree an answer stands once, else under the majors that
// gave it.
func (f *File) Write(path string) error {
	var b strings.Builder
	for _, line := range f.Head {
		b.WriteString(line + "\n")
	}
	b.WriteString(beginServers + strings.Join(f.Servers, " ") + "\n")
	for _, e := range f.Exchanges {
		b.WriteString("\n" + beginExchange + e.Name + "\n")
		for _, line := range e.Comment {
			b.WriteString(line + "\n")
		}
		for _, s := range e.Steps {
			b.WriteString(s.Text + "\n")
			s.write(&b)
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func (s *Step) write(b *strings.Builder) {
	var order []string
	members := map[string][]string{}
	for _, m := range slices.Sorted(maps.Keys(s.Answers)) {
		text := ""
		for _, line := range s.Answers[m] {
			text += beginAnswer + line + "\n"
		}
		if members[text] == nil {
			order = append(order, text)
		}
		members[text] = append(members[text], strconv.Itoa(m))
	}
	for _, text := range order {
		if len(order) > 1 {
			b.WriteString(beginMajors + strings.Join(members[text], " ") + ":\n")
		}
		b.WriteString(text)
	}
}
