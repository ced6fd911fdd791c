try:
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput
except ImportError:
    PreTrainedModel = None

if PreTrainedModel is not None:

    class KasminaConfig(PretrainedConfig):
        """The content of config.json"""

        model_type = "kasmina"

    class KasminaForCausalLM(PreTrainedModel, GenerationMixin):
        """The network behind the interface of transformers"""

        config_class = KasminaConfig
        base_model_prefix = "network"

        def __init__(self, config):
            super().__init__(config)
            self.network = network()
            self.post_init()

        def _init_weights(self, module):
            """Keeps the initial weights of the constructors"""

        def prepare_inputs_for_generation(self, input_ids, **unused):
            # Each step reads the newest tokens that fit into the context.
            return {"input_ids": input_ids[:, -self.config.max_position_embeddings :]}

        def forward(self, input_ids, attention_mask=None, labels=None, **unused):
            logits = self.network(input_ids)
            loss = None
            if labels is not None:
                loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
            return CausalLMOutput(loss=loss, logits=logits)
