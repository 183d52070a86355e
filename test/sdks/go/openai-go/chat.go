package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/invopop/jsonschema"
	"github.com/openai/openai-go/v3"

	"megallm.test/sdks/harness"
)

func (s sdk) Chat(ctx context.Context, model, prompt string) (harness.Completion, error) {
	return s.complete(ctx, openai.ChatCompletionNewParams{Model: model, Messages: userSays(prompt)})
}

func (s sdk) complete(ctx context.Context, params openai.ChatCompletionNewParams) (harness.Completion, error) {
	completion, err := s.client.Chat.Completions.New(ctx, params)
	if err != nil {
		return harness.Completion{}, err
	}
	read := harness.Completion{Choices: len(completion.Choices), Usage: usageOf(completion.Usage)}
	if len(completion.Choices) > 0 {
		choice := completion.Choices[0]
		read.Role, read.Content, read.Finish = string(choice.Message.Role), choice.Message.Content, choice.FinishReason
	}
	return read, nil
}

func (s sdk) Vision(ctx context.Context, prompt, imageURL string) (harness.Completion, error) {
	return s.complete(ctx, openai.ChatCompletionNewParams{
		Model: harness.ChatModel,
		Messages: []openai.ChatCompletionMessageParamUnion{
			openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
				openai.TextContentPart(prompt),
				openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: imageURL, Detail: "low"}),
			}),
		},
	})
}

func (s sdk) Structured(ctx context.Context, prompt string, into any) (harness.Completion, error) {
	schema, err := schemaOf(into)
	if err != nil {
		return harness.Completion{}, err
	}
	completion, err := s.complete(ctx, openai.ChatCompletionNewParams{
		Model:    harness.ChatModel,
		Messages: userSays(prompt),
		ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{
			OfJSONSchema: &openai.ResponseFormatJSONSchemaParam{
				JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{
					Name:   "answer",
					Schema: schema,
					Strict: openai.Bool(true),
				},
			},
		},
	})
	if err != nil {
		return completion, err
	}
	if err := json.Unmarshal([]byte(completion.Content), into); err != nil {
		return completion, fmt.Errorf("%s: %w", completion.Content, err)
	}
	return completion, nil
}

// schemaOf derives a schema as the SDK's README does it.
func schemaOf(value any) (map[string]any, error) {
	reflector := jsonschema.Reflector{AllowAdditionalProperties: false, DoNotReference: true}
	data, err := json.Marshal(reflector.Reflect(value))
	if err != nil {
		return nil, err
	}
	var schema map[string]any
	return schema, json.Unmarshal(data, &schema)
}

func (s sdk) Stream(ctx context.Context, request harness.StreamRequest) iter.Seq2[harness.Chunk, error] {
	params := openai.ChatCompletionNewParams{Model: request.Model, Messages: userSays(request.Prompt)}
	if request.IncludeUsage {
		params.StreamOptions.IncludeUsage = openai.Bool(true)
	}
	return func(yield func(harness.Chunk, error) bool) {
		for chunk, err := range all(s.client.Chat.Completions.NewStreaming(ctx, params)) {
			if !yield(chunkOf(chunk), err) {
				return
			}
		}
	}
}

func chunkOf(chunk openai.ChatCompletionChunk) harness.Chunk {
	read := harness.Chunk{Choices: len(chunk.Choices)}
	for _, choice := range chunk.Choices {
		read.Content += choice.Delta.Content
		if choice.FinishReason != "" {
			read.Finish = choice.FinishReason
		}
	}
	if chunk.JSON.Usage.Valid() {
		usage := usageOf(chunk.Usage)
		read.Usage = &usage
	}
	return read
}

type conversation struct {
	sdk
	params openai.ChatCompletionNewParams
}

func (s sdk) Converse(prompt string, tools []harness.Tool) (harness.Conversation, error) {
	params := openai.ChatCompletionNewParams{
		Model:         harness.ChatModel,
		Messages:      userSays(prompt),
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	for _, tool := range tools {
		schema, err := schemaOf(tool.Arguments)
		if err != nil {
			return nil, err
		}
		params.Tools = append(params.Tools, openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
			Name: tool.Name, Parameters: schema, Strict: openai.Bool(true),
		}))
	}
	return &conversation{s, params}, nil
}

// Next puts the stream together by the SDK's accumulator.
func (c *conversation) Next(ctx context.Context) (harness.Turn, error) {
	acc := openai.ChatCompletionAccumulator{}
	var finished []string
	for chunk, err := range all(c.client.Chat.Completions.NewStreaming(ctx, c.params)) {
		if err != nil {
			return harness.Turn{}, err
		}
		if !acc.AddChunk(chunk) {
			return harness.Turn{}, fmt.Errorf("the accumulator refuses %s", chunk.RawJSON())
		}
		if call, ok := acc.JustFinishedToolCall(); ok {
			finished = append(finished, call.ID+call.Name+call.Arguments)
		}
	}
	if len(acc.Choices) != 1 {
		return harness.Turn{}, fmt.Errorf("%d choices", len(acc.Choices))
	}
	choice := acc.Choices[0]
	turn := harness.Turn{Content: choice.Message.Content, Finish: choice.FinishReason, Usage: usageOf(acc.Usage)}
	var accumulated []string
	for _, call := range choice.Message.ToolCalls {
		accumulated = append(accumulated, call.ID+call.Function.Name+call.Function.Arguments)
		turn.Calls = append(turn.Calls, harness.Call{
			ID:        call.ID,
			Type:      call.Type,
			Name:      call.Function.Name,
			Arguments: call.Function.Arguments,
		})
	}
	if !slices.Equal(finished, accumulated) {
		return turn, fmt.Errorf("calls %q were finished, %q accumulated", finished, accumulated)
	}
	c.params.Messages = append(c.params.Messages, choice.Message.ToParam())
	return turn, nil
}

func (c *conversation) Answer(callID, result string) {
	c.params.Messages = append(c.params.Messages, openai.ToolMessage(result, callID))
}

func usageOf(usage openai.CompletionUsage) harness.Usage {
	return harness.Usage{Input: usage.PromptTokens, Output: usage.CompletionTokens, Total: usage.TotalTokens}
}

func userSays(text string) []openai.ChatCompletionMessageParamUnion {
	return []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}
}
