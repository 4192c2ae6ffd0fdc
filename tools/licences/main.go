package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const header = "# Modules that replproxy and its tests are built with: module, version, licence.\n" +
	"# Written by `make deps`, held by `make check`.\n"

func main() {
	root := flag.String("root", ".", "folder of the module to check")
	write := flag.Bool("write", false, "write deps.txt instead of comparing it")
	flag.Parse()
	if err := run(*root, *write); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(root string, write bool) error {
	modules, err := listModules(root)
	if err != nil {
		return err
	}
	text := header
	var failed error
	for _, m := range modules {
		licence, err := licenceOf(m.Dir)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s %s: %w", m.Path, m.Version, err))
			continue
		}
		text += fmt.Sprintf("%s %s %s\n", m.Path, m.Version, licence)
	}
	if failed != nil {
		return failed
	}
	path := filepath.Join(root, "deps.txt")
	if write {
		return os.WriteFile(path, []byte(text), 0o644)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if string(old) != text {
		return fmt.Errorf("deps.txt is not what the repository builds with; `make deps` makes it\n%s", diff(string(old), text))
	}
	return nil
}

type module struct {
	Path, Version, Dir string
	Main               bool
}

// listModules returns the modules of which a package is built in, tests included, by path.
func listModules(root string) ([]module, error) {
	cmd := exec.Command("go", "list", "-deps", "-test", "-json=Module", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var modules []module
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *module }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		if p.Module != nil && !p.Module.Main && !slices.Contains(modules, *p.Module) {
			modules = append(modules, *p.Module)
		}
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return modules, nil
}

// allowed are the licences that may be linked into a program under the PostgreSQL licence, each with
// sentences that it has, in the order in which they are tried.
var allowed = []struct {
	name string
	has  []string
}{
	{"MPL-2.0", []string{"mozilla public license", "version 2.0"}},
	{"Apache-2.0", []string{"apache license", "version 2.0, january 2004"}},
	{"MIT", []string{"permission is hereby granted, free of charge", "the software is provided \"as is\""}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}},
}

// refused are words of licences that must not slip through as part of another.
var refused = []string{"gnu general public license", "gnu affero", "server side public", "business source license"}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)(\.(md|txt))?$`)

func licenceOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		return recognise(string(text))
	}
	return "", errors.New("no licence file")
}

func recognise(text string) (string, error) {
	text = strings.Join(strings.Fields(strings.ToLower(text)), " ")
	contains := func(s string) bool { return strings.Contains(text, s) }
	for _, l := range allowed {
		// The MPL names the GPL as a secondary licence.
		if !slices.ContainsFunc(l.has, func(s string) bool { return !contains(s) }) &&
			(l.name == "MPL-2.0" || !slices.ContainsFunc(refused, contains)) {
			return l.name, nil
		}
	}
	return "", errors.New("licence not recognised or not allowed")
}

func diff(old, new string) string {
	was, is := strings.Split(old, "\n"), strings.Split(new, "\n")
	var b strings.Builder
	for _, l := range was {
		if !slices.Contains(is, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	return b.String()
}
