"""Django's entry for the app."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders and money."""

    name = "orders"

    def ready(self) -> None:
        """Show the last reconciliation on the home page."""
        from myproject.operations.panels import Panel, register_panel
        from orders.queries.batches import latest_reconciliation

        register_panel(
            Panel(
                name="reconciliation", template="orders/reconciliation_panel.html", load=latest_reconciliation
            )
        )
