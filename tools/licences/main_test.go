package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecognise(t *testing.T) {
	bsd := "Redistribution and use in source and binary forms, with or without modification"
	for _, tc := range []struct{ text, want string }{
		{"Permission is hereby granted, free of charge, to any person … THE SOFTWARE IS\nPROVIDED \"AS IS\"", "MIT"},
		{bsd, "BSD-2-Clause"},
		{bsd + " Neither the name of the copyright holder", "BSD-3-Clause"},
		{"Apache License\n  Version 2.0, January 2004", "Apache-2.0"},
		{"Mozilla Public License, version 2.0 … GNU General Public License", "MPL-2.0"},
		{bsd + " but only under the GNU General Public License", ""},
		{"all rights reserved", ""},
		{"", ""},
	} {
		got, err := recognise(tc.text)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%.40q: %q, %v; want %q", tc.text, got, err, tc.want)
		}
	}
}

func TestLicenceOf(t *testing.T) {
	dir := t.TempDir()
	if _, err := licenceOf(dir); err == nil {
		t.Error("a module without a licence file passed")
	}
	text := []byte("Apache License Version 2.0, January 2004")
	if err := os.WriteFile(filepath.Join(dir, "COPYING"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := licenceOf(dir); got != "Apache-2.0" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDiff(t *testing.T) {
	got := diff("a 1\nb 1\n", "a 2\nb 1\n")
	if got != "- a 1\n+ a 2\n" {
		t.Errorf("%q", strings.ReplaceAll(got, "\n", "|"))
	}
}
