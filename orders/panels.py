"""What orders show on the home page."""

from myproject.operations.panels import Panel, register_panel
from orders.queries.batches import latest_reconciliation

register_panel(
    Panel(
        name="reconciliation",
        template="orders/reconciliation_panel.html",
        load=latest_reconciliation,
        link=("Orders", "admin:orders_order_changelist"),
    )
)
