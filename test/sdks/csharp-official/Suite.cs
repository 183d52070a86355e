using System.ClientModel;
using System.Text.Json;
using System.Text.Json.Serialization;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Embeddings;
using OpenAI.Files;
using OpenAI.Models;
using OpenAI.Responses;
using Xunit;

/// <summary>The scenarios of ../SCENARIOS.md with OpenAI's own SDK for .NET.</summary>
public sealed class Suite
{
    private const string Model = "gpt-4o-mini";
    private const string EmbeddingModel = "text-embedding-3-small";

    /// <summary>The default of System.ClientModel's ClientRetryPolicy.</summary>
    private const int SdkRetries = 3;

    private static readonly OpenAIClient Client = ClientWith(Scenario.Variable("OPENAI_API_KEY"));

    [Fact]
    public Task Models() => Scenario.Run("models", async () =>
    {
        var models = Client.GetOpenAIModelClient();
        OpenAIModelCollection listed = (await models.GetModelsAsync()).Value;
        Assert.Contains(listed, model => model.Id == Model);
        Assert.All(listed, model =>
        {
            Assert.NotEmpty(model.Id);
            Assert.True(model.CreatedAt >= DateTimeOffset.UnixEpoch);
        });
        Assert.Equal(Model, (await models.GetModelAsync(Model)).Value.Id);
        var error = await Assert.ThrowsAsync<ClientResultException>(() => models.GetModelAsync("no-such-model"));
        Assert.Equal(404, error.Status);
        Assert.Equal("model_not_found", FieldOf(error, "code"));
    });

    [Fact]
    public Task Chat() => Scenario.Run("chat", async () =>
    {
        ChatCompletion completion = (await ChatWith(Model).CompleteChatAsync(new UserChatMessage("Say hello"))).Value;
        Assert.NotEmpty(TextOf(completion.Content));
        Assert.Equal(ChatFinishReason.Stop, completion.FinishReason);
        AssertUsage(completion.Usage);
    });

    [Fact]
    public Task Stream() => Scenario.Run("stream", async () =>
    {
        // The SDK asks for the usage of every stream by itself.
        var updates = await Collect(
            ChatWith(Model).CompleteChatStreamingAsync(new UserChatMessage("Say one two three")));
        Assert.NotEmpty(string.Concat(updates.Select(update => TextOf(update.ContentUpdate))));
        var finished = Assert.Single(updates, update => update.FinishReason is not null);
        Assert.Equal(ChatFinishReason.Stop, finished.FinishReason);
        AssertUsage(updates[^1].Usage);
        Assert.All(updates.SkipLast(1), update => Assert.Null(update.Usage));
        Assert.Single(updates.Select(update => update.CompletionId).Distinct());
    });

    private static readonly ChatTool GetWeather = ChatTool.CreateFunctionTool(
        "get_weather",
        "The weather of a city",
        BinaryData.FromString(Given.WeatherSchema),
        functionSchemaIsStrict: true);

    private static readonly ChatTool FindFlights = ChatTool.CreateFunctionTool(
        "find_flights",
        "Flights to a city",
        BinaryData.FromString(Given.FlightSchema),
        functionSchemaIsStrict: true);

    [Fact]
    public Task Tools() => Scenario.Run("tools", async () =>
    {
        List<ChatMessage> messages = [new UserChatMessage("Should I fly to Lisbon this week? Use get_weather and find_flights.")];
        ChatCompletionOptions options = new() { Tools = { GetWeather, FindFlights } };
        List<string[]> called = [];
        for (var round = 0; round < 5; round++)
        {
            var updates = await Collect(ChatWith(Model).CompleteChatStreamingAsync(messages, options));
            var reason = Assert.Single(updates, update => update.FinishReason is not null).FinishReason;
            var calls = CallsOf(updates);
            if (calls.Count == 0)
            {
                Assert.Equal(ChatFinishReason.Stop, reason);
                Assert.NotEmpty(string.Concat(updates.Select(update => TextOf(update.ContentUpdate))));
                Assert.NotEmpty(called);
                Assert.Equal(new[] { "find_flights", "get_weather" }, called[0]);
                return;
            }
            Assert.Equal(ChatFinishReason.ToolCalls, reason);
            Assert.Equal(calls.Count, calls.Select(call => call.Id).Distinct().Count());
            called.Add([.. calls.Select(call => call.FunctionName).Order(StringComparer.Ordinal)]);
            messages.Add(new AssistantChatMessage(calls));
            messages.AddRange(calls.Select(call => new ToolChatMessage(
                call.Id, Given.AnswerTo(call.FunctionName, call.FunctionArguments.ToString()))));
        }
        Assert.Fail("the loop did not end with words");
    });

    private sealed record Ingredient
    {
        [JsonPropertyName("name")] public required string Name { get; init; }
        [JsonPropertyName("grams")] public required double Grams { get; init; }
    }

    private sealed record Recipe
    {
        [JsonPropertyName("title")] public required string Title { get; init; }
        [JsonPropertyName("difficulty")] public required string Difficulty { get; init; }
        [JsonPropertyName("vegan")] public required bool Vegan { get; init; }
        [JsonPropertyName("ingredients")] public required IReadOnlyList<Ingredient> Ingredients { get; init; }
    }

    [Fact]
    public Task Structured() => Scenario.Run("structured", async () =>
    {
        ChatCompletionOptions options = new()
        {
            ResponseFormat = ChatResponseFormat.CreateJsonSchemaFormat(
                "recipe",
                BinaryData.FromString("""
                    {
                      "type": "object",
                      "properties": {
                        "title": { "type": "string" },
                        "difficulty": { "type": "string", "enum": ["easy", "hard"] },
                        "vegan": { "type": "boolean" },
                        "ingredients": {
                          "type": "array",
                          "items": {
                            "type": "object",
                            "properties": { "name": { "type": "string" }, "grams": { "type": "number" } },
                            "required": ["name", "grams"],
                            "additionalProperties": false
                          }
                        }
                      },
                      "required": ["title", "difficulty", "vegan", "ingredients"],
                      "additionalProperties": false
                    }
                    """),
                jsonSchemaIsStrict: true),
        };
        ChatCompletion completion =
            (await ChatWith(Model).CompleteChatAsync([new UserChatMessage("A recipe for bread")], options)).Value;
        var recipe = JsonSerializer.Deserialize<Recipe>(TextOf(completion.Content), Given.Strict);
        Assert.Contains(recipe.Difficulty, new[] { "easy", "hard" });
        Assert.NotNull(recipe.Ingredients);
    });

    [Fact]
    public Task Embeddings() => Scenario.Run("embeddings", async () =>
    {
        var embeddings = Client.GetEmbeddingClient(EmbeddingModel);
        OpenAIEmbeddingCollection answer =
            (await embeddings.GenerateEmbeddingsAsync(["The first text", "Второй текст 🌍"])).Value;
        Assert.Equal(new[] { 0, 1 }, answer.Select(embedding => embedding.Index).ToArray());
        Assert.True(answer.Usage.InputTokenCount > 0);
        var few = (await embeddings.GenerateEmbeddingAsync(
            "The first text", new EmbeddingGenerationOptions { Dimensions = 256 })).Value;
        var again = (await embeddings.GenerateEmbeddingAsync("The first text")).Value;
        Expect.UnitVector(Doubles(answer[0]), 1536);
        Expect.UnitVector(Doubles(answer[1]), 1536);
        Expect.UnitVector(Doubles(few), 256);
        Assert.NotEqual(answer[0].ToFloats().ToArray(), answer[1].ToFloats().ToArray());
        Assert.Equal(answer[0].ToFloats().ToArray(), again.ToFloats().ToArray());
    });

    [Fact]
    public Task Responses() => Scenario.Run("responses", async () =>
    {
        var responses = Client.GetResponsesClient();
        ResponseResult response = (await responses.CreateResponseAsync(Model, "Say hello")).Value;
        Assert.NotEmpty(response.GetOutputText());
        Assert.Equal(ResponseStatus.Completed, response.Status);
        Assert.True(response.Usage.InputTokenCount > 0 && response.Usage.OutputTokenCount > 0);
        Assert.Equal(response.Usage.InputTokenCount + response.Usage.OutputTokenCount, response.Usage.TotalTokenCount);
        ResponseResult following =
            (await responses.CreateResponseAsync(Model, "And once more", previousResponseId: response.Id)).Value;
        Assert.NotEmpty(following.GetOutputText());
        Assert.Equal(ResponseStatus.Completed, following.Status);
        Assert.Equal(response.Id, following.PreviousResponseId);
        Assert.NotEqual(response.Id, following.Id);
    });

    [Fact]
    public Task ResponsesStream() => Scenario.Run("responses-stream", async () =>
    {
        var updates = await Collect(
            await Client.GetResponsesClient().CreateResponseStreamingAsync(Model, "Say one two three"));
        Assert.IsType<StreamingResponseCreatedUpdate>(updates[0]);
        var completed = Assert.IsType<StreamingResponseCompletedUpdate>(updates[^1]);
        Assert.Equal(
            Enumerable.Range(0, updates.Count).ToArray(), updates.Select(update => update.SequenceNumber).ToArray());
        var text = string.Concat(
            updates.OfType<StreamingResponseOutputTextDeltaUpdate>().Select(update => update.Delta));
        Assert.NotEmpty(text);
        Assert.Equal(completed.Response.GetOutputText(), text);
    });

    [Fact]
    public Task Vision() => Scenario.Run("vision", async () =>
    {
        // The SDK makes a data URL of the bytes.
        var question = new UserChatMessage(
            ChatMessageContentPart.CreateTextPart("Which colour is this?"),
            ChatMessageContentPart.CreateImagePart(
                BinaryData.FromBytes(Convert.FromBase64String(Given.RedPixel)), "image/png", ChatImageDetailLevel.Low));
        ChatCompletion completion = (await ChatWith(Model).CompleteChatAsync(question)).Value;
        Assert.NotEmpty(TextOf(completion.Content));
    });

    [Fact]
    public Task Files() => Scenario.Run("files", async () =>
    {
        var files = Client.GetOpenAIFileClient();
        var content = Given.FileContent();
        OpenAIFile uploaded = (await files.UploadFileAsync(
            BinaryData.FromBytes(content), "requests.jsonl", FileUploadPurpose.Batch)).Value;
        Assert.Equal(content.Length, uploaded.SizeInBytes);
        Assert.Equal("requests.jsonl", uploaded.Filename);
        Assert.Equal(FilePurpose.Batch, uploaded.Purpose);
        Assert.Contains((await files.GetFilesAsync()).Value, file => file.Id == uploaded.Id);
        Assert.Equal(content.Length, (await files.GetFileAsync(uploaded.Id)).Value.SizeInBytes);
        Assert.Equal(content, (await files.DownloadFileAsync(uploaded.Id)).Value.ToArray());
        Assert.True((await files.DeleteFileAsync(uploaded.Id)).Value.Deleted);
        var error = await Assert.ThrowsAsync<ClientResultException>(() => files.GetFileAsync(uploaded.Id));
        Assert.Equal(404, error.Status);
    });

    [Fact]
    public Task Error400() => Scenario.Run("error-400", async () =>
    {
        var error = await FailureOf(ChatWith("fault-400"));
        Assert.Equal(400, error.Status);
        Assert.Contains("temperature", error.Message);
        Assert.Equal("invalid_value", FieldOf(error, "code"));
        Assert.Equal("temperature", FieldOf(error, "param"));
        Assert.Equal("invalid_request_error", FieldOf(error, "type"));
    });

    [Fact]
    public Task Error401() => Scenario.Run("error-401", async () =>
    {
        var error = await FailureOf(ClientWith("sk-wrong").GetChatClient(Model));
        Assert.Equal(401, error.Status);
        Assert.Equal("invalid_api_key", FieldOf(error, "code"));
    });

    [Fact]
    public Task Error404() => Scenario.Run("error-404", async () =>
    {
        var error = await FailureOf(ChatWith("no-such-model"));
        Assert.Equal(404, error.Status);
        Assert.Equal("model_not_found", FieldOf(error, "code"));
    });

    [Fact]
    public Task Error429() => Scenario.Run("error-429", () => AssertRetries("fault-429", 429));

    [Fact]
    public Task Error500() => Scenario.Run("error-500", () => AssertRetries("fault-500", 500));

    [Fact]
    public Task ErrorMidStream() => Scenario.Run("error-mid-stream", async () =>
    {
        var text = "";
        var finished = false;
        var failed = false;
        var updates = ChatWith("fault-mid-stream").CompleteChatStreamingAsync(new UserChatMessage("Hello"));
        try
        {
            await foreach (var update in updates)
            {
                text += TextOf(update.ContentUpdate);
                finished |= update.FinishReason is not null;
            }
        }
        catch (Exception)
        {
            failed = true;
        }
        Assert.Equal("one two", text.Trim());
        Assert.False(finished);
        // Of a chunk it reads what it knows, and a member named error is not among that.
        if (!failed) throw new SdkLacksException("it does not read errors within a stream of chat chunks");
    });

    [Fact]
    public Task Cancel() => Scenario.Run("cancel", async () =>
    {
        var before = await Scenario.Count("slow-stream", "cancelled");
        var deltas = 0;
        await foreach (var update in ChatWith("slow-stream").CompleteChatStreamingAsync(new UserChatMessage("Hello")))
        {
            if (TextOf(update.ContentUpdate) != "") deltas++;
            if (deltas == 3) break;
        }
        Assert.Equal(3, deltas);
        await Expect.Stopped("slow-stream", before);
    });

    [Fact]
    public Task LongPrompt() => Scenario.Run("long-prompt", async () =>
    {
        ChatCompletion completion = (await ChatWith(Model).CompleteChatAsync(
            new UserChatMessage(Given.LongText()), new UserChatMessage("Say nothing"))).Value;
        Assert.NotEmpty(TextOf(completion.Content));
        Assert.True(completion.Usage.InputTokenCount >= 10_000, $"{completion.Usage.InputTokenCount} prompt tokens");
    });

    private static OpenAIClient ClientWith(string apiKey) => new(
        new ApiKeyCredential(apiKey),
        new OpenAIClientOptions { Endpoint = new Uri(Scenario.Variable("OPENAI_BASE_URL")) });

    private static ChatClient ChatWith(string model) => Client.GetChatClient(model);

    private static string TextOf(ChatMessageContent content) => string.Concat(content.Select(part => part.Text));

    private static async Task<List<T>> Collect<T>(IAsyncEnumerable<T> stream)
    {
        List<T> all = [];
        await foreach (var item in stream) all.Add(item);
        return all;
    }

    /// <summary>The SDK has no accumulator: its documentation puts the pieces together by their index.</summary>
    private static List<ChatToolCall> CallsOf(IEnumerable<StreamingChatCompletionUpdate> updates) =>
    [
        .. updates
            .SelectMany(update => update.ToolCallUpdates)
            .GroupBy(update => update.Index)
            .OrderBy(pieces => pieces.Key)
            .Select(pieces => ChatToolCall.CreateFunctionToolCall(
                string.Concat(pieces.Select(piece => piece.ToolCallId)),
                string.Concat(pieces.Select(piece => piece.FunctionName)),
                BinaryData.FromString(
                    string.Concat(pieces.Select(piece => piece.FunctionArgumentsUpdate?.ToString()))))),
    ];

    private static Task<ClientResultException> FailureOf(ChatClient chat) =>
        Assert.ThrowsAsync<ClientResultException>(() => chat.CompleteChatAsync(new UserChatMessage("Hello")));

    /// <summary>The exception has the status and a message; the rest is in the answer that it carries.</summary>
    private static string FieldOf(ClientResultException error, string name) =>
        Expect.ErrorField(error.GetRawResponse().Content.ToString(), name);

    private static Task AssertRetries(string model, int status) => Expect.Calls(model, 1 + SdkRetries, async () =>
        Assert.Equal(status, (await FailureOf(ChatWith(model))).Status));

    private static void AssertUsage(ChatTokenUsage usage)
    {
        Assert.NotNull(usage);
        Assert.True(usage.InputTokenCount > 0 && usage.OutputTokenCount > 0);
        Assert.Equal(usage.InputTokenCount + usage.OutputTokenCount, usage.TotalTokenCount);
    }

    private static double[] Doubles(OpenAIEmbedding embedding) =>
        embedding.ToFloats().ToArray().Select(number => (double)number).ToArray();
}
