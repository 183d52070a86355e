// The scenarios of ../SCENARIOS.md with github.com/openai/openai-go.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/invopop/jsonschema"
	"github.com/openai/openai-go/v3"
)

const chatModel = openai.ChatModelGPT4oMini

// The address and the key come from OPENAI_BASE_URL and OPENAI_API_KEY, which the SDK reads by itself.
var client = openai.NewClient()

func main() {
	os.Exit(runAll([]scenario{
		{"models", models},
		{"chat", chat},
		{"stream", stream},
		{"tools", tools},
		{"structured", structured},
		{"embeddings", embeddings},
		{"responses", wholeResponse},
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
func expectError(err error, status int, code string) (*openai.Error, error) {
	var apiError *openai.Error
	if !errors.As(err, &apiError) {
		return nil, fmt.Errorf("want an openai.Error of %d, got %T: %v", status, err, err)
	}
	if apiError.StatusCode != status {
		return nil, fmt.Errorf("want status %d, got %w", status, err)
	}
	if apiError.Message == "" {
		return nil, fmt.Errorf("the error of %d has no message", status)
	}
	if code != "" && apiError.Code != code {
		return nil, fmt.Errorf("want code %q, got %q", code, apiError.Code)
	}
	return apiError, nil
}

func checkUsage(usage openai.CompletionUsage) error {
	if usage.PromptTokens <= 0 || usage.CompletionTokens <= 0 ||
		usage.PromptTokens+usage.CompletionTokens != usage.TotalTokens {
		return fmt.Errorf("usage does not add up: %s", usage.RawJSON())
	}
	return nil
}

func userSays(text string) []openai.ChatCompletionMessageParamUnion {
	return []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}
}

// schemaOf derives a schema as the SDK's README does it.
func schemaOf[T any]() (map[string]any, error) {
	reflector := jsonschema.Reflector{AllowAdditionalProperties: false, DoNotReference: true}
	var value T
	data, err := json.Marshal(reflector.Reflect(value))
	if err != nil {
		return nil, err
	}
	var schema map[string]any
	return schema, json.Unmarshal(data, &schema)
}

// describe is the reason that is printed for a scenario that failed; the SDK's own text lacks the message.
func describe(err error) string {
	var apiError *openai.Error
	if errors.As(err, &apiError) {
		return err.Error() + ": " + apiError.Message
	}
	return err.Error()
}
