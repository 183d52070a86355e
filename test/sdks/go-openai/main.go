// The scenarios of ../SCENARIOS.md with github.com/sashabaranov/go-openai.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/sashabaranov/go-openai"
)

const chatModel = "gpt-4o-mini"

var client = newClient(os.Getenv("OPENAI_API_KEY"))

func newClient(key string) *openai.Client {
	config := openai.DefaultConfig(key)
	config.BaseURL = os.Getenv("OPENAI_BASE_URL")
	return openai.NewClientWithConfig(config)
}

func main() {
	os.Exit(runAll([]scenario{
		{"models", models},
		{"chat", chat},
		{"stream", stream},
		{"tools", tools},
		{"structured", structured},
		{"embeddings", embeddings},
		{"responses", responses},
		{"responses-stream", responsesStream},
		{"vision", vision},
		{"files", files},
		{"error-400", error400},
		{"error-401", error401},
		{"error-404", error404},
		{"error-429", error429},
		{"error-500", error500},
		{"error-mid-stream", errorMidStream},
		{"cancel", cancel},
		{"long-prompt", longPrompt},
	}))
}

// expectError is the SDK's own error with that status; without a code, any code will do.
func expectError(err error, status int, code string) (*openai.APIError, error) {
	var apiError *openai.APIError
	if !errors.As(err, &apiError) {
		return nil, fmt.Errorf("want an APIError of %d, got %T: %v", status, err, err)
	}
	if apiError.HTTPStatusCode != status {
		return nil, fmt.Errorf("want status %d, got %w", status, err)
	}
	if apiError.Message == "" {
		return nil, fmt.Errorf("the error of %d has no message", status)
	}
	if code != "" && apiError.Code != code {
		return nil, fmt.Errorf("want code %q, got %v", code, apiError.Code)
	}
	return apiError, nil
}

func checkUsage(usage openai.Usage) error {
	if usage.PromptTokens <= 0 || usage.CompletionTokens <= 0 ||
		usage.PromptTokens+usage.CompletionTokens != usage.TotalTokens {
		return fmt.Errorf("usage does not add up: %+v", usage)
	}
	return nil
}

func userSays(text string) []openai.ChatCompletionMessage {
	return []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: text}}
}

// describe is the reason that is printed for a scenario that failed.
func describe(err error) string {
	return err.Error()
}
