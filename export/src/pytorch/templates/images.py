try:
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import ImageClassifierOutput
except ImportError:
    PreTrainedModel = None

if PreTrainedModel is not None:

    class KasminaConfig(PretrainedConfig):
        """The content of config.json"""

        model_type = "kasmina"

    class KasminaForImageClassification(PreTrainedModel):
        """The network behind the interface of transformers"""

        config_class = KasminaConfig
        base_model_prefix = "network"
        main_input_name = "pixel_values"

        def __init__(self, config):
            super().__init__(config)
            self.network = network()
            self.post_init()

        def _init_weights(self, module):
            """Keeps the initial weights of the constructors"""

        def forward(self, pixel_values, labels=None, **unused):
            logits = self.network(pixel_values)
            loss = None if labels is None else F.cross_entropy(logits.float(), labels)
            return ImageClassifierOutput(loss=loss, logits=logits)
