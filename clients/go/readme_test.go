package triggers

import (
	"os"
	"strings"
	"testing"
)

func TestTheReadmeShowsTheExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"producer", "consumer", "worker"} {
		example, err := os.ReadFile("examples/" + name + ".go")
		if err != nil || !strings.Contains(string(readme), "```go\n"+string(example)+"```\n") {
			t.Errorf("README.md does not show examples/%s.go as it is (%v)", name, err)
		}
	}
}

func TestTheReadmeGetsThisVersion(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil || !strings.Contains(string(readme), "\ngo get triggers.internal/triggers@v"+Version+"\n") {
		t.Fatalf("README.md does not get version %s (%v)", Version, err)
	}
}
